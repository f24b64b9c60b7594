{{/* The document of a picker whose chart says nothing else. Takes the router tree. */}}
{{- define "epp.defaultPlugins" -}}
{{- $source := .epp.metricsDataSource -}}
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: marginal-cost-scorer
- type: metrics-data-source
  parameters:
    scheme: {{ $source.scheme }}
    path: {{ $source.path }}
    insecureSkipVerify: {{ $source.insecureSkipVerify }}
- type: core-metrics-extractor
  parameters:
    defaultEngine: {{ .modelServers.type }}
dataLayer:
  sources:
  - pluginRef: metrics-data-source
    extractors:
    - pluginRef: core-metrics-extractor
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: marginal-cost-scorer
{{- with .epp.parsers }}
requestHandler:
  parsers:
  {{- range . }}
  - pluginRef: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Every flag once, as a list of --name=value in the order of the names. */}}
{{- define "epp.pickerArguments" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- $flags := dict -}}
{{- if $router.modelServers.endpointSelector -}}
{{- $_ := set $flags "endpoint-selector" (include "epp.selectorText" .) -}}
{{- else if and (eq .Values.mode "standalone") (not $router.inferencePool.create) -}}
{{- $_ := set $flags "endpoint-selector" (include "epp.selectorText" .) -}}
{{- else -}}
{{- $_ := set $flags "pool-name" (include "epp.pool" .) -}}
{{- $_ := set $flags "pool-group" "inference.networking.k8s.io" -}}
{{- end -}}
{{- if hasKey $flags "endpoint-selector" -}}
{{- $ports := list -}}
{{- range $router.modelServers.targetPorts -}}{{- $ports = append $ports (toString .number) -}}{{- end -}}
{{- $_ := set $flags "endpoint-target-ports" (join "," $ports) -}}
{{- end -}}
{{- $_ := set $flags "pool-namespace" "$(NAMESPACE)" -}}
{{- $_ := set $flags "config-file" (printf "/config/%s" $router.epp.pluginsConfigFile) -}}
{{- $_ := set $flags "grpc-port" 9002 -}}
{{- $_ := set $flags "grpc-health-port" $router.epp.grpcHealthPort -}}
{{- $_ := set $flags "metrics-port" 9090 -}}
{{- $_ := set $flags "zap-encoder" "json" -}}
{{- $_ := set $flags "tracing" $router.tracing.enabled -}}
{{- $_ := set $flags "ha-enable-leader-election" (include "epp.electing" . | eq "true") -}}
{{- $_ := set $flags "metrics-endpoint-auth" (include "epp.metricsAuth" . | eq "true") -}}
{{- if $router.epp.tls.secretName -}}
{{- $_ := set $flags "cert-path" "/certificates" -}}
{{- $_ := set $flags "enable-cert-reload" true -}}
{{- end -}}
{{- $flags = mergeOverwrite $flags $router.epp.flags -}}
{{- range $name, $value := $flags }}
- {{ printf "--%s=%s" $name (include "epp.flagValue" (dict "value" $value)) | toJson }}
{{- end -}}
{{- end -}}

{{/* A large number keeps its digits, a list becomes a comma list. */}}
{{- define "epp.flagValue" -}}
{{- if kindIs "string" .value -}}
{{- .value -}}
{{- else if kindIs "slice" .value -}}
{{- join "," .value -}}
{{- else -}}
{{- toJson .value -}}
{{- end -}}
{{- end -}}

{{- define "epp.pickerContainer" -}}
{{- $router := include "epp.router" . | fromJson -}}
- name: epp
  image: {{ include "epp.image" (list $router.epp.image .Chart.AppVersion) }}
  imagePullPolicy: {{ $router.epp.image.pullPolicy }}
  args:
  {{- include "epp.pickerArguments" . | trim | nindent 2 }}
  env:
  - name: NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- if $router.tracing.enabled }}
  - name: OTEL_SERVICE_NAME
    value: epp
  - name: OTEL_TRACES_EXPORTER
    value: otlp
  - name: OTEL_EXPORTER_OTLP_ENDPOINT
    value: {{ $router.tracing.otelExporterEndpoint | quote }}
  - name: OTEL_TRACES_SAMPLER
    value: {{ $router.tracing.sampling.sampler | quote }}
  - name: OTEL_TRACES_SAMPLER_ARG
    value: {{ $router.tracing.sampling.samplerArg | quote }}
  {{- end }}
  {{- with $router.epp.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: grpc
    containerPort: 9002
  - name: grpc-health
    containerPort: {{ $router.epp.grpcHealthPort }}
  - name: metrics
    containerPort: 9090
  {{- with $router.epp.extraContainerPorts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  # It takes a second of CPU to start, on a node that is full many times that: liveness counts after.
  startupProbe:
    grpc:
      port: {{ $router.epp.grpcHealthPort }}
      service: liveness
    periodSeconds: 1
    failureThreshold: 120
  # The process works: a pool that is not there yet is no reason to restart.
  livenessProbe:
    grpc:
      port: {{ $router.epp.grpcHealthPort }}
      service: liveness
    periodSeconds: 10
  readinessProbe:
    grpc:
      port: {{ $router.epp.grpcHealthPort }}
      service: readiness
    periodSeconds: 2
  {{- if and (eq .Values.mode "standalone") (eq $router.proxy.mode "sidecar") }}
  # As long as the Envoy beside it serves.
  lifecycle:
    preStop:
      sleep:
        seconds: {{ $router.proxy.preStopSleepSeconds }}
  {{- end }}
  resources:
    {{- toYaml $router.epp.resources | nindent 4 }}
  securityContext:
    {{- mergeOverwrite (include "epp.containerSecurity" . | fromYaml) $router.epp.securityContext | toYaml | nindent 4 }}
  volumeMounts:
  - name: config
    mountPath: /config
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- if $router.epp.tls.secretName }}
  - name: certificates
    mountPath: /certificates
    readOnly: true
  {{- end }}
{{- end -}}
