{{- define "streamer.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "streamer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "streamer.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "streamer.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects: of all pods of a release, and with `role` of one role's. */}}
{{- define "streamer.selector" -}}
app.kubernetes.io/name: {{ include "streamer.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "streamer.labels" -}}
{{ include "streamer.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "streamer.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Kafka user of a role, and the Secret of its password. */}}
{{- define "streamer.user" -}}
{{- $user := index .root.Values.kafka.users .role -}}
{{- $user.username | default (printf "%s-%s" (.root.Values.config.log.prefix | default "wiki") .role) -}}
{{- end -}}

{{- define "streamer.userSecret" -}}
{{- $user := index .root.Values.kafka.users .role -}}
{{- $user.secretName | default (include "streamer.user" .) -}}
{{- end -}}
