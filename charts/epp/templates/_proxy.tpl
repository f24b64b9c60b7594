{{/*
Envoy and what writes its configuration. One source: `epp envoy-config` of the picker's own image.
Argument: the root, and the address of the picker as Envoy sees it.
*/}}
{{- define "epp.proxyInit" -}}
{{- $root := index . 0 -}}
{{- $router := include "epp.router" $root | fromJson -}}
- name: envoy-config
  image: {{ include "epp.image" (list $router.epp.image $root.Chart.AppVersion) }}
  imagePullPolicy: {{ $router.epp.image.pullPolicy }}
  args:
  - envoy-config
  - --output=/envoy/bootstrap.json
  - --listen={{ include "epp.hostPort" (list $router.proxy.listenHost $router.proxy.port) }}
  - --picker={{ index . 1 }}
  - --picker-tls={{ include "epp.secure" $root | eq "true" }}
  - --mode={{ $router.proxy.bodyMode }}
  - --fail-open={{ $router.proxy.failOpen }}
  - --envoy-version={{ $router.proxy.envoyVersion }}
  {{- if eq $router.proxy.modelServersFrom "names" }}
  - --model-servers={{ include "epp.modelServerNames" $root }}
  {{- end }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "epp.containerSecurity" $root | nindent 4 }}
  volumeMounts:
  - name: envoy
    mountPath: /envoy
{{- end -}}

{{- define "epp.proxyContainer" -}}
{{- $router := include "epp.router" . | fromJson -}}
- name: envoy
  image: {{ include "epp.image" (list $router.proxy.image "") }}
  imagePullPolicy: {{ $router.proxy.image.pullPolicy }}
  command: [envoy]
  args:
  - --config-path
  - /envoy/bootstrap.json
  - --log-level
  - warn
  - --disable-hot-restart
  # Told to drain, it asks its clients to leave with their next answer.
  - --drain-strategy
  - immediate
  - --drain-time-s
  - {{ $router.proxy.preStopSleepSeconds | quote }}
  {{- if $router.proxy.concurrency }}
  - --concurrency
  - {{ $router.proxy.concurrency | quote }}
  {{- else }}
  - --cpuset-threads
  {{- end }}
  ports:
  - name: http
    containerPort: {{ $router.proxy.port }}
  - name: proxy-status
    containerPort: 19001
  readinessProbe:
    httpGet:
      path: /ready
      port: proxy-status
    periodSeconds: 5
    failureThreshold: 1
  lifecycle:
    preStop:
      sleep:
        seconds: {{ $router.proxy.preStopSleepSeconds }}
  resources:
    {{- toYaml $router.proxy.resources | nindent 4 }}
  securityContext:
    {{- include "epp.containerSecurity" . | nindent 4 }}
  volumeMounts:
  - name: envoy
    mountPath: /envoy
    readOnly: true
{{- end -}}

{{/* Gets SIGTERM when Envoy's container begins to wait, and has it drain. */}}
{{- define "epp.drainContainer" -}}
{{- $router := include "epp.router" . | fromJson -}}
- name: drain
  image: {{ include "epp.image" (list $router.epp.image .Chart.AppVersion) }}
  imagePullPolicy: {{ $router.epp.image.pullPolicy }}
  args: [envoy-drain]
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 128Mi}
  securityContext:
    {{- include "epp.containerSecurity" . | nindent 4 }}
{{- end -}}

{{/* name:port of the headless Service of the model servers, once for each target port. */}}
{{- define "epp.modelServerNames" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- $host := printf "%s-servers.%s.svc.%s" (include "epp.name" .) .Release.Namespace $router.clusterDomain -}}
{{- $names := list -}}
{{- range $router.modelServers.targetPorts -}}
{{- $names = append $names (printf "%s:%v" $host .number) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{- define "epp.hostPort" -}}
{{- $host := index . 0 -}}
{{- if contains ":" $host }}[{{ $host }}]{{ else }}{{ $host }}{{ end }}:{{ index . 1 }}
{{- end -}}
