{{/* What cannot work is refused here, with the value that has to change. */}}
{{- define "epp.checks" -}}
{{- $router := include "epp.router" . | fromJson -}}
{{- $servers := $router.modelServers -}}
{{- if not (include "epp.selectorText" .) -}}
{{- fail "router.modelServers.matchLabels is required: the labels of the model server Pods" -}}
{{- end -}}
{{- if and $servers.endpointSelector $router.inferencePool.create -}}
{{- fail "router.modelServers.endpointSelector is for inferencePool.create=false; an InferencePool selects by matchLabels" -}}
{{- end -}}
{{- if and $servers.endpointSelector $servers.matchLabels -}}
{{- fail "give either router.modelServers.endpointSelector or router.modelServers.matchLabels" -}}
{{- end -}}
{{- if and (eq .Values.mode "gateway") (not $router.inferencePool.create) $servers.endpointSelector -}}
{{- fail "mode gateway needs an InferencePool: with inferencePool.create=false one that is named like the release" -}}
{{- end -}}
{{- if not (has $router.inferencePool.failureMode (list "FailOpen" "FailClose")) -}}
{{- fail (printf "router.inferencePool.failureMode: %q is not FailOpen or FailClose" $router.inferencePool.failureMode) -}}
{{- end -}}
{{- if or (lt (len $servers.targetPorts) 1) (gt (len $servers.targetPorts) 8) -}}
{{- fail "router.modelServers.targetPorts: 1 to 8 ports" -}}
{{- end -}}
{{- if and $servers.endpointSelector (eq .Values.mode "standalone") (eq $router.proxy.modelServersFrom "names") -}}
{{- fail "router.proxy.modelServersFrom=names needs router.modelServers.matchLabels, since a Service selects by equality; or set it to picks" -}}
{{- end -}}
{{- if ($router.latencyPredictor | default dict).enabled -}}
{{- fail "router.latencyPredictor is not supported: this picker learns in its own process" -}}
{{- end -}}
{{- if ($router.tokenizer | default dict).enabled -}}
{{- fail "router.tokenizer is not supported: this picker estimates tokens itself" -}}
{{- end -}}
{{- if ((.Values.provider.gke).preferredBackends | default dict).enabled -}}
{{- fail "provider.gke.preferredBackends is not supported" -}}
{{- end -}}
{{- if ne $servers.protocol "http" -}}
{{- fail (printf "router.modelServers.protocol: only http is supported, not %q" $servers.protocol) -}}
{{- end -}}
{{- if and $router.networkPolicy.enabled (eq .Values.mode "gateway") (not $router.networkPolicy.gatewayFrom) -}}
{{- if and (eq .Values.provider.name "gke") (not .Values.provider.gke.proxySubnets) -}}
{{- fail "provider.gke.proxySubnets is required by router.networkPolicy.enabled: the CIDR of the proxy-only subnet" -}}
{{- end -}}
{{- if eq .Values.provider.name "none" -}}
{{- fail "router.networkPolicy.gatewayFrom is required with provider.name=none: the chart does not know the gateway's Pods" -}}
{{- end -}}
{{- end -}}
{{- if ($router.epp.autoscaling | default dict).enabled -}}
{{- fail "router.epp.autoscaling is not supported; set router.epp.replicas" -}}
{{- end -}}
{{- range $flag, $value := dict "grpc-port" "router.epp.extProcPort, which the Service has" "grpc-health-port" "router.epp.grpcHealthPort" "metrics-port" "nothing: probes and monitors know 9090" -}}
{{- if hasKey $router.epp.flags $flag -}}
{{- fail (printf "router.epp.flags.%s: the container's ports are fixed; set %s" $flag $value) -}}
{{- end -}}
{{- end -}}
{{- $file := $router.epp.pluginsConfigFile -}}
{{- if not (or (eq $file "default-plugins.yaml") $router.epp.pluginsConfig (hasKey $router.epp.pluginsCustomConfig $file)) -}}
{{- fail (printf "router.epp.pluginsConfigFile: %q is not default-plugins.yaml and no key of router.epp.pluginsCustomConfig" $file) -}}
{{- end -}}
{{- with $servers.autoscaling -}}
{{- if and .type (not .scaleTargetRef.name) -}}
{{- fail "router.modelServers.autoscaling.scaleTargetRef.name is required: what runs the model servers" -}}
{{- end -}}
{{- if and (eq .type "keda") (not .keda.serverAddress) -}}
{{- fail "router.modelServers.autoscaling.keda.serverAddress is required: the URL of Prometheus" -}}
{{- end -}}
{{- end -}}
{{- end -}}
