{{/* The node selector terms of a ring, as a JSON list of lists of requirements: its own, and none of those of the rings before
it, so that a node is in one ring and no more, whatever the terms are. (dict "rings" $rings "index" $i)

Terms are alternatives, and the requirements in one have to hold together. What is not in an earlier ring fails one
requirement of each of its terms: each way to do so is an alternative here. */}}
{{- define "ip-masq-agent.terms" -}}
{{- $terms := list -}}
{{- range (index .rings .index).nodeSelectorTerms | default (list (dict "matchExpressions" list)) -}}
{{- $terms = append $terms .matchExpressions -}}
{{- end -}}
{{- range until .index -}}
{{- range (index $.rings .).nodeSelectorTerms -}}
{{- $earlier := .matchExpressions -}}
{{- $next := list -}}
{{- range $term := $terms -}}
{{- range $earlier -}}
{{- $opposite := include "ip-masq-agent.opposite" . | fromJson -}}
{{- $next = append $next (ternary $term (append $term $opposite) (has $opposite $term)) -}}
{{- end -}}
{{- end -}}
{{- $terms = uniq $next -}}
{{- end -}}
{{- end -}}
{{- if gt (len $terms) 64 -}}
{{- fail (printf "rings[%d]: the rings before it have so many requirements that %d node selector terms would be needed to leave their nodes out; expected at most 64: give the nodes of a ring one label of their own" .index (len $terms)) -}}
{{- end -}}
{{- toJson $terms -}}
{{- end -}}

{{/* The requirement that holds where this one does not: a node without the label is NotIn, and is not In. */}}
{{- define "ip-masq-agent.opposite" -}}
{{- $operators := dict "In" "NotIn" "NotIn" "In" "Exists" "DoesNotExist" "DoesNotExist" "Exists" -}}
{{- $opposite := dict "key" .key "operator" (get $operators .operator) -}}
{{- if .values -}}
{{- $_ := set $opposite "values" .values -}}
{{- end -}}
{{- toJson $opposite -}}
{{- end -}}

{{/* The affinity of a ring. No two agents at once on a node that goes from one ring to another: the pod of the new ring waits
until that of the old one has ended. */}}
{{- define "ip-masq-agent.ringAffinity" -}}
{{- $terms := include "ip-masq-agent.terms" (dict "rings" .root.Values.rings "index" .index) | fromJsonArray -}}
{{- /* The only ring takes all nodes, for which there is no term: an empty one matches none. */ -}}
{{- if first $terms }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      {{- range $terms }}
      - matchExpressions:
          {{- toYaml . | nindent 10 }}
      {{- end }}
{{- end }}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          app.kubernetes.io/name: {{ .root.Chart.Name | quote }}
    # Upstream's pods have this label alone.
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          k8s-app: {{ include "ip-masq-agent.name" .root | quote }}
{{- end -}}
