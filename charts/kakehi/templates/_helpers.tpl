{{/* The chart's name. */}}
{{- define "kakehi.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names. 42 characters leave room for the longest suffix, `-executions-controller`. */}}
{{- define "kakehi.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "kakehi.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The prefix of the names of objects outside of the release's namespace: two releases of one name in two namespaces must
not share them. */}}
{{- define "kakehi.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "kakehi.fullname" .) -}}
{{- end -}}

{{/* Labels that select the Pods of a role. Argument: {root, role}. */}}
{{- define "kakehi.selector" -}}
app.kubernetes.io/name: {{ include "kakehi.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{/* Labels of every object. Argument: {root, role}; the role may be missing. */}}
{{- define "kakehi.labels" -}}
app.kubernetes.io/name: {{ include "kakehi.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The annotations of an object's metadata, or nothing. Argument: {root, own}. */}}
{{- define "kakehi.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{/* The roles that there are, as JSON. */}}
{{- define "kakehi.roles" -}}
{{- $roles := list "sink" "controller" -}}
{{- if .Values.api.enabled -}}
{{- $roles = append $roles "api" -}}
{{- end -}}
{{- toJson $roles -}}
{{- end -}}

{{/* The name of a role's ServiceAccount. Argument: {root, role}. */}}
{{- define "kakehi.serviceAccount" -}}
{{- $account := (index .root.Values .role).serviceAccount -}}
{{- if $account.create -}}
{{- default (printf "%s-%s" (include "kakehi.fullname" .root) .role) $account.name -}}
{{- else -}}
{{- required (printf "%s.serviceAccount.name is required when create is false" .role) $account.name -}}
{{- end -}}
{{- end -}}

{{/* The image with its digest or tag. */}}
{{- define "kakehi.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where events can be sent, without a Job's path. */}}
{{- define "kakehi.sinkUrl" -}}
{{- if .Values.sinkUrl -}}
{{ .Values.sinkUrl }}
{{- else -}}
{{- $port := int .Values.sink.service.port -}}
http://{{ include "kakehi.fullname" . }}-sink.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}{{ if ne $port 80 }}:{{ $port }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The namespace of events that are posted to no namespace. */}}
{{- define "kakehi.defaultNamespace" -}}
{{- $own := .Values.sink.defaultNamespace -}}
{{- $watched := .Values.watchNamespace -}}
{{- if and $own $watched (ne $own $watched) -}}
{{- fail (printf "sink.defaultNamespace is %s, but only watchNamespace %s is looked after" $own $watched) -}}
{{- end -}}
{{- $own | default $watched | default "default" -}}
{{- end -}}

{{/* The flags that both roles take. */}}
{{- define "kakehi.flags" -}}
- --admin-address=0.0.0.0:9090
- --grace-period={{ int .Values.gracePeriodSeconds }}
{{- with .Values.watchNamespace }}
- --watch-namespace={{ . }}
{{- end }}
- --log={{ .Values.log.filter }}
- --log-format={{ .Values.log.format }}
{{- with .Values.telemetry.otlpEndpoint }}
- --otlp-endpoint={{ . }}
{{- end }}
{{- end -}}

{{/* The parts of a container that both roles share. Argument: {root, role}. */}}
{{- define "kakehi.container" -}}
image: {{ include "kakehi.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
resources:
  {{- toYaml (index .root.Values .role).resources | nindent 2 }}
{{- with (index .root.Values .role).env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where and as whom the Pods of a role run. Argument: {root, role}. */}}
{{- define "kakehi.pod" -}}
{{- $root := .root -}}
{{- $selector := include "kakehi.selector" . | fromYaml -}}
{{- with index .root.Values .role -}}
serviceAccountName: {{ include "kakehi.serviceAccount" $ }}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- toYaml (merge (dict) .nodeSelector (dict "kubernetes.io/os" "linux")) | nindent 2 }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $soft := dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $zones := merge (dict "topologyKey" "topology.kubernetes.io/zone") $soft -}}
{{- $nodes := merge (dict "topologyKey" "kubernetes.io/hostname") $soft }}
topologySpreadConstraints:
  {{- range (default (list $zones $nodes) .topologySpreadConstraints) }}
  - {{- toYaml (merge (dict) . (dict "labelSelector" (dict "matchLabels" $selector))) | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
