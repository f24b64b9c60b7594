{{- define "epp.bbr.selectorLabels" -}}
app.kubernetes.io/name: epp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.bbr.name }}
{{- end -}}

{{- define "epp.bbr.host" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{ .Values.bbr.name }}.{{ .Release.Namespace }}.svc.{{ $router.clusterDomain }}
{{- end -}}

{{- define "epp.bbr.secure" -}}
{{- if ne (toString (get .Values.bbr.flags "secure-serving")) "false" }}true{{ end -}}
{{- end -}}

{{/* Whether a reader of its /metrics must show a token: as for the picker, or by its own flag. */}}
{{- define "epp.bbr.metricsAuth" -}}
{{- $flag := get .Values.bbr.flags "metrics-endpoint-auth" | toString -}}
{{- if or (eq $flag "true") (and (include "epp.metricsAuth" .) (ne $flag "false")) }}true{{ end -}}
{{- end -}}

{{- define "epp.bbr.arguments" -}}
{{- $flags := dict "grpc-port" .Values.bbr.port "grpc-health-port" .Values.bbr.healthCheckPort "metrics-port" .Values.bbr.metricsPort "secure-serving" true "streaming" true "zap-encoder" "json" "metrics-endpoint-auth" (include "epp.bbr.metricsAuth" . | eq "true") -}}
- bbr
{{- range $name, $value := mergeOverwrite $flags .Values.bbr.flags }}
- {{ printf "--%s=%s" $name (include "epp.flagValue" (dict "value" $value)) | toJson }}
{{- end }}
{{- range .Values.bbr.plugins }}
{{- $parts := list .type .name -}}
{{- with .json }}{{ $parts = append $parts (include "epp.flagValue" (dict "value" .)) }}{{ end }}
- {{ printf "--plugin=%s" (join ":" $parts) | toJson }}
{{- end -}}
{{- end -}}
