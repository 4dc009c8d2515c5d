{{/* What a ring's pods are configured by, as JSON: {config} or {existing} or {}. A ring's own counts instead of the one for all. */}}
{{- define "ip-masq-agent.source" -}}
{{- $own := or .ring.config .ring.existingConfigMap -}}
{{- $level := ternary .ring .root.Values (not (empty $own)) -}}
{{- dict "config" ($level.config | default dict) "existing" ($level.existingConfigMap | default "") | toJson -}}
{{- end -}}

{{/* The configuration file. Numbers are written as such: of a large one toYaml makes 1e+06, which is no whole number to the agent. */}}
{{- define "ip-masq-agent.file" -}}
{{- if hasKey . "nonMasqueradeCIDRs" }}
nonMasqueradeCIDRs:
{{- range .nonMasqueradeCIDRs }}
  - {{ . | quote }}
{{- else }} []
{{- end }}
{{- end }}
{{- if hasKey . "cidrLimit" }}
cidrLimit: {{ int64 .cidrLimit }}
{{- end }}
{{- range $key := list "masqLinkLocal" "masqLinkLocalIPv6" }}
{{- if hasKey $ $key }}
{{ $key }}: {{ get $ $key }}
{{- end }}
{{- end }}
{{- if hasKey . "resyncInterval" }}
resyncInterval: {{ .resyncInterval | quote }}
{{- end }}
{{- end -}}

{{/* The name of the ConfigMap that a ring's pods mount: (dict "root" $ "ring" $ring). */}}
{{- define "ip-masq-agent.configMapName" -}}
{{- $source := include "ip-masq-agent.source" . | fromJson -}}
{{- $fullname := include "ip-masq-agent.fullname" .root -}}
{{- if $source.existing -}}
{{ $source.existing }}
{{- else if and $source.config (or .root.Values.configMap.immutable .root.Values.rings) -}}
{{ $fullname }}-{{ include "ip-masq-agent.file" $source.config | trim | sha256sum | trunc 10 }}
{{- else -}}
{{ $fullname }}
{{- end -}}
{{- end -}}

{{/* The newest of the ConfigMaps that this release has in the cluster under a name of their content, but for those of now, as
JSON: their data by their names, as it is, because it cannot change. (dict "root" $ "now" $files)

What stays among the objects of a release Helm does not delete. `helm.sh/resource-policy: keep` would do that too, but then
`helm rollback` fails before Helm 4.2, as it finds in its way what the release does not have. Without a cluster (`helm template`)
there are none. */}}
{{- define "ip-masq-agent.earlierFiles" -}}
{{- $values := .root.Values -}}
{{- $pattern := printf "^%s-[0-9a-f]{10}$" (include "ip-masq-agent.fullname" .root) -}}
{{- $files := dict -}}
{{- $byAge := dict -}}
{{- range (lookup "v1" "ConfigMap" .root.Release.Namespace "").items -}}
{{- $isOurs := eq (dig "annotations" "meta.helm.sh/release-name" "" .metadata) $.root.Release.Name -}}
{{- if and $isOurs .immutable (regexMatch $pattern .metadata.name) (not (hasKey $.now .metadata.name)) -}}
{{- $_ := set $byAge (printf "%s %s" .metadata.creationTimestamp .metadata.name) . -}}
{{- end -}}
{{- end -}}
{{- range $index, $age := keys $byAge | sortAlpha | reverse -}}
{{- if lt $index (int $values.configMap.history) -}}
{{- $found := get $byAge $age -}}
{{- $_ := set $files $found.metadata.name $found.data -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}
