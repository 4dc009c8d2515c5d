{{/* What k8s-app says, and so the selector: upstream's. */}}
{{- define "ip-masq-agent.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/* Not made of the release's name: a node has one agent, and upstream's objects are called so. */}}
{{- define "ip-masq-agent.fullname" -}}
{{- .Values.fullnameOverride | default .Chart.Name -}}
{{- end -}}

{{/* Labels by which all pods of a release are found, whatever they are called. Those that change with the chart's version would
roll the pods. */}}
{{- define "ip-masq-agent.podLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of objects, but for k8s-app. */}}
{{- define "ip-masq-agent.labels" -}}
{{ include "ip-masq-agent.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The image of a ring, as JSON: {name, pullPolicy}. (dict "root" $ "ring" $ring) */}}
{{- define "ip-masq-agent.image" -}}
{{- $own := .ring.image | default dict -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (deepCopy $own) -}}
{{- /* A tag of the ring's own counts instead of a digest for all. */ -}}
{{- $digest := ternary "" $image.digest (and (empty $own.digest) (not (empty $own.tag))) -}}
{{- $version := ternary (printf ":%s" ($image.tag | default .root.Chart.AppVersion)) (printf "@%s" $digest) (empty $digest) -}}
{{- dict "name" (printf "%s%s" $image.repository $version) "pullPolicy" $image.pullPolicy | toJson -}}
{{- end -}}

{{/* A file of files/ with one text in the place of another: (dict "text" $text "old" $old "new" $new). The files are copies of
what stands elsewhere, so what is to be replaced may have changed. */}}
{{- define "ip-masq-agent.replaced" -}}
{{- if not (contains .old .text) -}}
{{- fail (printf "this chart is at odds with itself: a file of files/ has no %q; report it" .old) -}}
{{- end -}}
{{- .text | replace .old .new -}}
{{- end -}}
