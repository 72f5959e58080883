{{- define "topgraft.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A release called topgraft gives objects called topgraft. 47 leaves room for the suffix "-leader-election" within 63. */ -}}
{{- define "topgraft.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "topgraft.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "topgraft.selectorLabels" -}}
app.kubernetes.io/name: {{ include "topgraft.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "topgraft.labels" -}}
{{ include "topgraft.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: topgraft
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "topgraft.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "topgraft.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "topgraft.image" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty: set it to where the cluster pulls the operator's image from, for example --set image.repository=registry.example.com/topgraft (docs/install.md shows how to build and push it)" -}}
{{- end -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- with .Values.image.digest -}}
{{- printf "%s@%s" $tagged . -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}

{{- /* What the operator may do in a namespace that it looks after. Secrets are absent: kubelets mount them, the operator never reads one. */ -}}
{{- define "topgraft.rules" -}}
- apiGroups: [topgraft.dev]
  resources: [models, adapterupgrades]
  verbs: [get, list, watch]
- apiGroups: [topgraft.dev]
  resources: [modelversions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [topgraft.dev]
  resources: [models/status, modelversions/status, adapterupgrades/status]
  verbs: [patch]
# OpenShift asks for this of whoever sets blockOwnerDeletion on a child.
- apiGroups: [topgraft.dev]
  resources: [models/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Preflight pods are made and removed by the operator itself; serving pods of a standby are replaced by deletion.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
# The training of a version by its own Job (trainInfo.job).
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# The infos of a version (outputInfo, inputInfo), which the kubelet shows its pods as files.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.operator.gatewayApi }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# OpenShift asks for this of whoever writes endpoint addresses.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices/restricted]
  verbs: [create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# Why a pod does not start (FailedMount, FailedScheduling) is told by events only.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
