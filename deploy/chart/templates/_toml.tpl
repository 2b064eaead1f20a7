{{/* Each value as JSON, which is TOML too: text, numbers, lists of them; toToml would make 10.0 of 10. What the
chart sets itself the schema refuses in `config`. */}}
{{- define "streamer.toml" -}}
{{- $kafka := .Values.kafka -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "log" (merge (dict "kind" "kafka" "bootstrap" $kafka.bootstrap) ($config.log | default dict)) -}}
{{- $_ := set $config "deliver" (merge (dict "host" "0.0.0.0" "port" 8080 "admin_host" "0.0.0.0" "admin_port" 9090 "behind_tls" true) ($config.deliver | default dict)) -}}
{{- $_ := set $config "partners" (dict "file" "/etc/streamer/partners/partners.toml") -}}
{{- range $section, $keys := $config }}
{{- if $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}
[log.security]
protocol = {{ $kafka.protocol | toJson }}
mechanism = {{ $kafka.mechanism | toJson }}
{{- if $kafka.ca.secretName }}
ca_file = "/etc/streamer/ca/ca.crt"
{{- end }}
{{- end -}}
