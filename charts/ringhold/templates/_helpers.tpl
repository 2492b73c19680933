{{- define "ringhold.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for every suffix behind it. */}}
{{- define "ringhold.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- $name := include "ringhold.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "ringhold.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ringhold.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ringhold.labels" -}}
{{ include "ringhold.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ringhold
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ringhold.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ringhold.leaseName" -}}
{{- default (include "ringhold.fullname" .) .Values.leaseName }}
{{- end }}

{{- define "ringhold.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "ringhold.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /*
Of pods that only proxy. It is there in every mode: a change of mode takes no right from pods that still run.
*/}}
{{- define "ringhold.proxyServiceAccountName" -}}
{{- include "ringhold.serviceAccountName" . }}-proxy
{{- end }}

{{- define "ringhold.hashSecretName" -}}
{{- default (printf "%s-hash-secret" (include "ringhold.fullname" .)) .Values.hashSecret.existingSecret }}
{{- end }}

{{- /* The pods that proxy, as the operator looks for them. */}}
{{- define "ringhold.proxySelector" -}}
app.kubernetes.io/name={{ include "ringhold.name" . }},app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=proxy
{{- end }}

{{- define "ringhold.adminAddress" -}}
{{- $host := .Values.admin.address }}
{{- printf "%s:%d" (ternary (printf "[%s]" $host) $host (contains ":" $host)) (int .Values.admin.port) }}
{{- end }}
