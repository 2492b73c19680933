{{- /*
All that Ringhold asks of the API server, and no more. A ClusterRole and a Role share these lists, so that both scopes
have the same rights.
*/}}

{{- /* What every process follows. */}}
{{- define "ringhold.rules.proxy" -}}
- apiGroups: [ringhold.dev]
  resources: [loadbalancers]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods, services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch]
{{- end }}

{{- /*
What the leader does besides. `get` looks at an object before its name is used. The API server asks for `create` where a
server-side apply makes a new one, and for the finalizers where an owner reference blocks the owner's deletion and
OwnerReferencesPermissionEnforcement is on.
*/}}
{{- define "ringhold.rules.controller" -}}
- apiGroups: [ringhold.dev]
  resources: [loadbalancers/status]
  verbs: [patch]
- apiGroups: [ringhold.dev]
  resources: [loadbalancers/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods, services]
  verbs: [get, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
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
