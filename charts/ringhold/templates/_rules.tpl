{{- /*
All that Ringhold asks of the API server, and no more. A ClusterRole and a Role share these lists, so that both scopes
have the same rights.
*/}}

{{- /* Routes follow from these alone. */}}
{{- define "ringhold.rules.proxy" -}}
- apiGroups: [ringhold.dev]
  resources: [loadbalancers]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}

{{- /*
What the leader does besides. `get` is for names that may be taken already; the API server asks for `create` itself where
a server-side apply makes a new object.
*/}}
{{- define "ringhold.rules.controller" -}}
- apiGroups: [ringhold.dev]
  resources: [loadbalancers/status]
  verbs: [patch]
# Owner references that block deletion need this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [ringhold.dev]
  resources: [loadbalancers/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- /*
Certificates of listeners, authorities of replicas: each Secret is watched by its name. What is given are the names; none: all Secrets.
*/}}
{{- define "ringhold.rules.tls" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with . }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [list, watch]
{{- end }}

{{- /* In the release's own namespace: the lead, and the proxies that Services point at. */}}
{{- define "ringhold.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "ringhold.leaseName" . }}]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
