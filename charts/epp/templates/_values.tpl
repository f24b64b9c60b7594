{{/*
The router tree, with the older trees of the field mapped onto it: inferenceExtension, inferencePool,
endpointsServer and inferenceObjectives at the top level. Where a key is given in both, router wins
only over its default. As YAML.
*/}}
{{- define "epp.router" -}}
{{- $router := deepCopy .Values.router -}}
{{- $older := deepCopy (.Values.inferenceExtension | default dict) -}}
{{- range $key := list "monitoring" "tracing" "inferencePool" "modelServers" "extraServicePorts" "proxy" "inferenceObjectives" -}}
{{- if hasKey $older $key -}}
{{- $_ := set $router $key (include "epp.merged" (list (get $router $key) (get $older $key)) | fromJson).value -}}
{{- $_ := unset $older $key -}}
{{- end -}}
{{- end -}}
{{- if hasKey $older "failureMode" -}}
{{- $_ := set $router.inferencePool "failureMode" $older.failureMode -}}
{{- end -}}
{{- if $older.parser -}}
{{- $_ := set $router.epp "parsers" (list $older.parser) -}}
{{- end -}}
{{- $older = omit $older "failureMode" "parser" "sidecar" "latencyPredictor" -}}
{{- $_ := set $router "epp" (mergeOverwrite $router.epp $older) -}}
{{- range $tree := list (.Values.inferencePool | default dict) (.Values.endpointsServer | default dict) -}}
{{- include "epp.olderPool" (list $router $tree) -}}
{{- end -}}
{{- if .Values.inferenceObjectives -}}
{{- $_ := set $router "inferenceObjectives" .Values.inferenceObjectives -}}
{{- end -}}
{{- /* The same key in the modelServers of a newer chart: one number. */ -}}
{{- if $router.modelServers.targetPortNumber -}}
{{- $_ := set $router.modelServers "targetPorts" (list (dict "number" $router.modelServers.targetPortNumber)) -}}
{{- end -}}
{{- if kindIs "slice" $router.modelServers.targetPorts -}}{{- else -}}
{{- $ports := list -}}
{{- range splitList "," (toString $router.modelServers.targetPorts) -}}
{{- $ports = append $ports (dict "number" (int (trim .))) -}}
{{- end -}}
{{- $_ := set $router.modelServers "targetPorts" $ports -}}
{{- end -}}
{{- toJson $router -}}
{{- end -}}

{{/* A list replaces, a map is merged: as Helm does with values files. As JSON {"value": ...}. */}}
{{- define "epp.merged" -}}
{{- $under := index . 0 -}}
{{- $over := index . 1 -}}
{{- if and (kindIs "map" $under) (kindIs "map" $over) -}}
{{- dict "value" (mergeOverwrite (deepCopy $under) $over) | toJson -}}
{{- else -}}
{{- dict "value" $over | toJson -}}
{{- end -}}
{{- end -}}

{{/* Top-level inferencePool or endpointsServer of the older charts, onto the router tree. */}}
{{- define "epp.olderPool" -}}
{{- $router := index . 0 -}}
{{- $tree := index . 1 -}}
{{- $names := dict "modelServerType" "type" "modelServerProtocol" "protocol" "targetPorts" "targetPorts" "targetPortNumber" "targetPortNumber" "endpointSelector" "endpointSelector" -}}
{{- range $old, $new := $names -}}
{{- if hasKey $tree $old -}}
{{- $_ := set $router.modelServers $new (get $tree $old) -}}
{{- end -}}
{{- end -}}
{{- with ($tree.modelServers | default dict).matchLabels -}}
{{- $_ := set $router.modelServers "matchLabels" . -}}
{{- end -}}
{{- if $tree.parser -}}
{{- $_ := set $router.epp "parsers" (list $tree.parser) -}}
{{- end -}}
{{- range $old := list "create" "enabled" "createInferencePool" -}}
{{- if hasKey $tree $old -}}
{{- $_ := set $router.inferencePool "create" (get $tree $old) -}}
{{- end -}}
{{- end -}}
{{- if $tree.failureMode -}}
{{- $_ := set $router.inferencePool "failureMode" $tree.failureMode -}}
{{- end -}}
{{- end -}}

{{/* httpRoute, with the older experimentalHttpRoute mapped onto it, and its defaults filled in. */}}
{{- define "epp.httpRoute" -}}
{{- $route := deepCopy .Values.httpRoute -}}
{{- $older := deepCopy (.Values.experimentalHttpRoute | default dict) -}}
{{- if hasKey $older "enabled" -}}
{{- $_ := set $older "create" $older.enabled -}}
{{- end -}}
{{- $route = mergeOverwrite $route (omit $older "enabled") -}}
{{- $_ := set $route "inferenceGatewayName" ($route.inferenceGatewayName | default .Values.inferenceGateway.name) -}}
{{- $_ := set $route "inferenceGatewayNamespace" ($route.inferenceGatewayNamespace | default .Values.inferenceGateway.namespace) -}}
{{- toJson $route -}}
{{- end -}}
