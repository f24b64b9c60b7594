{{/* Name of a pool metric in the external metrics API: through Stackdriver's adapter, prefix, name. */}}
{{- define "epp.externalMetric" -}}
{{- if index . 0 -}}
prometheus.googleapis.com|{{ index . 1 }}{{ index . 2 }}|gauge
{{- else -}}
{{ index . 1 }}{{ index . 2 }}
{{- end -}}
{{- end -}}

{{/* Up at once and at the most twofold in 15 s; down only after five quiet minutes. */}}
{{- define "epp.scalingBehavior" -}}
{{- if .behavior -}}
{{ toYaml .behavior }}
{{- else -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
  - {type: Percent, value: 100, periodSeconds: 15}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
  - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}
{{- end -}}

{{- define "epp.kedaTrigger" -}}
{{- $scaling := index . 0 -}}
- type: prometheus
  name: {{ index . 1 }}
  metricType: {{ index . 4 }}
  metadata:
    serverAddress: {{ $scaling.keda.serverAddress | quote }}
    query: {{ index . 2 | quote }}
    threshold: {{ index . 3 | toString | quote }}
    {{- with $scaling.keda.authModes }}
    authModes: {{ . | quote }}
    {{- end }}
  {{- with $scaling.keda.authenticationRef }}
  authenticationRef:
    name: {{ . }}
  {{- end }}
{{- end -}}
