{{- define "epp.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}-epp
{{- end -}}

{{- define "epp.pool" -}}
{{- .Release.Name -}}
{{- end -}}

{{- define "epp.selectorLabels" -}}
app.kubernetes.io/name: epp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: picker
{{- end -}}

{{- define "epp.labels" -}}
{{ include "epp.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "epp.proxyLabels" -}}
app.kubernetes.io/name: epp
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: proxy
{{- end -}}

{{/* registry/repository:tag of an image value; the tag's default is the second argument. */}}
{{- define "epp.image" -}}
{{- $image := index . 0 -}}
{{- $tag := $image.tag | default (index . 1) -}}
{{- if $image.registry }}{{ $image.registry }}/{{ end }}{{ $image.repository }}:{{ $tag }}
{{- end -}}

{{- define "epp.serviceHost" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{ include "epp.name" . }}.{{ .Release.Namespace }}.svc.{{ $router.clusterDomain }}
{{- end -}}

{{/* What the model servers are selected by; as a text such as a=b,c=d. */}}
{{- define "epp.selectorText" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- $parts := list -}}
{{- range $key, $value := $router.modelServers.matchLabels -}}
{{- $parts = append $parts (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- $router.modelServers.endpointSelector | default (join "," $parts) -}}
{{- end -}}

{{- define "epp.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "epp.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Peers of a NetworkPolicy that are the gateway. */}}
{{- define "epp.gatewayPeers" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- if $router.networkPolicy.gatewayFrom -}}
{{ toYaml $router.networkPolicy.gatewayFrom }}
{{- else if eq .Values.provider.name "istio" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .Values.inferenceGateway.namespace | default .Release.Namespace }}
  podSelector:
    matchLabels:
      gateway.networking.k8s.io/gateway-name: {{ .Values.inferenceGateway.name }}
{{- else if eq .Values.provider.name "gke" -}}
{{- range concat .Values.provider.gke.proxySubnets .Values.provider.gke.healthCheckRanges }}
- ipBlock:
    cidr: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Whether the ext-proc port serves TLS. */}}
{{- define "epp.secure" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- if ne (toString (get $router.epp.flags "secure-serving")) "false" }}true{{ end -}}
{{- end -}}

{{/* Whether one replica is elected to pick. */}}
{{- define "epp.electing" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- if or $router.epp.leaderElection (eq (toString (get $router.epp.flags "ha-enable-leader-election")) "true") }}true{{ end -}}
{{- end -}}

{{/* Whether a reader of /metrics must show a token that the API server knows. */}}
{{- define "epp.metricsAuth" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- $flag := get $router.epp.flags "metrics-endpoint-auth" -}}
{{- if and $router.monitoring.prometheus.auth.enabled (ne (toString $flag) "false") }}true{{ end -}}
{{- end -}}

{{- define "epp.monitoringProvider" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- if $router.monitoring.prometheus.enabled -}}
{{- lower $router.monitoring.provider.name | default "prometheusoperator" -}}
{{- end -}}
{{- end -}}
