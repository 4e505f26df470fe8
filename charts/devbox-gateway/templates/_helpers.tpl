{{/* Names in a namespace are fixed (the operator and the gateway know them); names in the cluster begin with the release's
namespace, so that two releases can live side by side. */}}

{{- define "devbox-gateway.clusterName" -}}
{{ .Release.Namespace }}-{{ .Chart.Name }}
{{- end }}

{{- define "devbox-gateway.credentialsNamespace" -}}
{{- $name := printf "%s-credentials" .Release.Namespace -}}
{{- if gt (len $name) 63 -}}
{{- fail (printf "the release namespace %q is too long: %q must have at most 63 characters; install into a namespace with a name of at most 51" .Release.Namespace $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{- define "devbox-gateway.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:devbox-operator
{{- end }}

{{/* Who cleans up in the name of the cluster: must never be held back, or namespaces would stay Terminating. */}}
{{- define "devbox-gateway.cleaners" -}}
['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']
{{- end }}

{{/* Metadata of what a running devbox's confinement stands on: `helm uninstall` leaves it, or whoever may edit pods could take it away from
those that still run. By the label it can be deleted in the end (docs/install.md). */}}
{{- define "devbox-gateway.guard" -}}
labels:
  {{- include "devbox-gateway.labels" . | nindent 2 }}
  devbox-gateway.io/guard: {{ .Release.Namespace }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}

{{- define "devbox-gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "devbox-gateway.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "devbox-gateway.image" -}}
{{- $image := .Values.image -}}
{{- $image.repository -}}
{{- if $image.digest -}}
@{{ $image.digest }}
{{- else -}}
:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What the image of devbox-init may begin with: the release's repository, and its mirrors; for a regular expression. */}}
{{- define "devbox-gateway.initRepositories" -}}
{{- $repositories := prepend (.Values.image.mirrors | default list) .Values.image.repository -}}
{{- range $index, $one := $repositories }}{{ if $index }}|{{ end }}{{ regexQuoteMeta $one }}{{ end -}}
{{- end }}

{{/* Likewise of devbox-clone: the repository of devboxes.gitImage, without tag and digest, and the same mirrors. Empty: there is none. */}}
{{- define "devbox-gateway.gitRepositories" -}}
{{- with .Values.devboxes.gitImage -}}
{{- $name := regexReplaceAll ":[^/:]*$" (first (splitList "@" .)) "" -}}
{{- range $index, $one := prepend ($.Values.image.mirrors | default list) $name }}{{ if $index }}|{{ end }}{{ regexQuoteMeta $one }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Both settings files have these: the gateway enforces them, the operator shows them as a condition. */}}
{{- define "devbox-gateway.upstreams" -}}
allowedCIDRs: {{ toJson .Values.upstreams.allowedCIDRs }}
allowedHosts: {{ toJson .Values.upstreams.allowedHosts }}
addressOverrides: {{ toJson .Values.upstreams.addressOverrides }}
{{- end }}

{{/* Likewise. Not by way of the floor document, so that a gateway closes it whatever version of the operator writes that. */}}
{{- define "devbox-gateway.floor" -}}
floor:
  extraCIDRs: {{ toJson .Values.floor.extraCIDRs }}
nat64Prefixes: {{ toJson .Values.nat64Prefixes }}
{{- end }}

{{/* Restricts a policy or binding to the namespaces this release works in. */}}
{{- define "devbox-gateway.watchedNamespaces" -}}
{{- with .Values.watchNamespaces }}
namespaceSelector:
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- end }}
{{- end }}

{{/* What the pods of both Deployments have in common: restricted Pod Security, placement, pull secrets. Takes the chart's
context with `component` and `settings` (the component's values) added. */}}
{{- define "devbox-gateway.pod" -}}
serviceAccountName: devbox-{{ .component }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "devbox-gateway.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* What the containers of both Deployments have in common. */}}
{{- define "devbox-gateway.container" -}}
image: {{ include "devbox-gateway.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
env:
  - name: HOME
    value: /tmp
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: POD_IPS
    valueFrom: {fieldRef: {fieldPath: status.podIPs}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 2
resources: {{- toYaml .settings.resources | nindent 2 }}
{{- end }}
