{{/* Pods as the Pod Security Standard "restricted" wants them; they ask Kubernetes for nothing. */}}
{{- define "streamer.podSecurity" -}}
serviceAccountName: {{ include "streamer.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "streamer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "streamer.placing" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := $root.Values.tolerations | default list }}
{{- if eq $role "source" }}
{{- /* There is one, and without it nothing is admitted. A second would be fenced, should the first still run. */}}
{{- range tuple "not-ready" "unreachable" }}
{{- $tolerations = append $tolerations (dict "key" (print "node.kubernetes.io/" .) "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" 30) }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.topologyKeys }}
topologySpreadConstraints:
  {{- range . }}
  # of one generation: old pods that drain for minutes are not to push new ones together
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "streamer.selector" (dict "root" $root "role" $role) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* A Secret's key as a file in a directory of its own: a subPath would never see a change. */}}
{{- define "streamer.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: {{ .path | quote }}}]
{{- end -}}
