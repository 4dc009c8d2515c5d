{{/* What values.schema.json cannot say: values that contradict one another, and that the agent would refuse. */}}
{{- define "ip-masq-agent.check" -}}
{{- $values := .Values -}}
{{- include "ip-masq-agent.checkLevel" (dict "place" "" "level" $values "flags" $values.flags) -}}
{{- range $index, $ring := $values.rings -}}
{{- $place := printf "rings[%d]" $index -}}
{{- $isLast := eq (add1 $index) (len $values.rings | int64) -}}
{{- if and $isLast $ring.nodeSelectorTerms -}}
{{- fail (printf "%s (%s) is the last and has nodeSelectorTerms; expected none, as it takes all nodes that no ring before it has: remove them, or add a ring behind it" $place $ring.name) -}}
{{- else if and (not $isLast) (not $ring.nodeSelectorTerms) -}}
{{- fail (printf "%s (%s) has no nodeSelectorTerms, and is not the last; expected the nodes that it takes, such as [{matchExpressions: [{key: ring, operator: In, values: [%s]}]}]" $place $ring.name $ring.name) -}}
{{- end -}}
{{- range $earlier := slice $values.rings 0 $index -}}
{{- if eq $earlier.name $ring.name -}}
{{- fail (printf "%s has the name %s, as one before it has; expected a name of its own" $place $ring.name) -}}
{{- end -}}
{{- end -}}
{{- include "ip-masq-agent.checkLevel" (dict "place" (printf "%s." $place) "level" $ring "flags" $values.flags) -}}
{{- end -}}
{{- if and $values.rings $values.affinity -}}
{{- fail "affinity stands beside rings; expected one of them, as each ring has an affinity of its own: put what it asks of nodes into nodeSelector" -}}
{{- end -}}
{{- range $arg := $values.extraArgs -}}
{{- $flag := regexFind "[a-zA-Z][a-zA-Z0-9_-]*" $arg -}}
{{- $byChart := dict "status-socket" "for its probes" "runtime-dir" "with its volume" "config" "by config or existingConfigMap" "state-dir" "by stateDirectory" "listen" "by metrics.listen" -}}
{{- $isFlag := has $flag (list "masq-chain" "nomasq-all-reserved-ranges" "enable-ipv6" "random-fully" "to-ports" "v" "backend" "protect" "watch-rules" "conntrack" "metrics-ranges" "log-format" "snat-scan-interval") -}}
{{- if $isFlag -}}
{{- fail (printf "extraArgs has %s; expected it as the value flags.%s" $arg $flag) -}}
{{- else if hasKey $byChart $flag -}}
{{- fail (printf "extraArgs has %s, which the chart sets itself, %s; remove it there" $arg (get $byChart $flag)) -}}
{{- else if has $flag (list "sandbox" "version" "V" "help" "h") -}}
{{- fail (printf "extraArgs has %s, with which the agent does nothing for the node; remove it" $arg) -}}
{{- end -}}
{{- end -}}
{{- range splitList "," (index $values.flags "to-ports" | default "0") -}}
{{- $ports := splitList "-" . -}}
{{- include "ip-masq-agent.checkPort" (dict "place" "flags.to-ports" "port" (first $ports)) -}}
{{- include "ip-masq-agent.checkPort" (dict "place" "flags.to-ports" "port" (last $ports)) -}}
{{- if gt (atoi (first $ports)) (atoi (last $ports)) -}}
{{- fail (printf "flags.to-ports has %s; expected the smaller port first" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq ($values.flags.protect | default "") "on") (eq ($values.flags.backend | default "") "nft-compat") -}}
{{- fail "flags.protect is on and flags.backend is nft-compat; expected backend nft or auto, as only the agent's own tables can be protected" -}}
{{- end -}}
{{- with $values.metrics.listen -}}
{{- include "ip-masq-agent.checkPort" (dict "place" "metrics.listen" "port" (include "ip-masq-agent.port" $values)) -}}
{{- end -}}
{{- if $values.metrics.podMonitor.enabled -}}
{{- include "ip-masq-agent.checkListen" (dict "asker" "metrics.podMonitor.enabled" "listen" $values.metrics.listen) -}}
{{- end -}}
{{- if $values.metrics.scrapeAnnotations -}}
{{- include "ip-masq-agent.checkListen" (dict "asker" "metrics.scrapeAnnotations" "listen" $values.metrics.listen) -}}
{{- end -}}
{{- end -}}

{{- define "ip-masq-agent.checkPort" -}}
{{- if gt (int64 .port) 65535 -}}
{{- fail (printf "%s has the port %s, which does not exist; expected at most 65535" .place .port) -}}
{{- end -}}
{{- end -}}

{{- define "ip-masq-agent.checkListen" -}}
{{- if or (empty .listen) (hasPrefix "127." .listen) (hasPrefix "[::1]" .listen) -}}
{{- fail (printf "%s is true, but Prometheus cannot reach metrics.listen, which is %q; expected an address of the node, such as $(HOST_IP):10297" .asker .listen) -}}
{{- end -}}
{{- end -}}

{{/* The configuration of all, or of a ring. */}}
{{- define "ip-masq-agent.checkLevel" -}}
{{- if and .level.config .level.existingConfigMap -}}
{{- fail (printf "%sconfig and %sexistingConfigMap are both set; expected one of them" .place .place) -}}
{{- end -}}
{{- $ranges := (.level.config | default dict).nonMasqueradeCIDRs | default list -}}
{{- $limit := int64 (hasKey (.level.config | default dict) "cidrLimit" | ternary (.level.config | default dict).cidrLimit 64) -}}
{{- if gt (len $ranges | int64) $limit -}}
{{- fail (printf "%sconfig.nonMasqueradeCIDRs has %d ranges, and cidrLimit is %d; expected a cidrLimit of at least %d" .place (len $ranges) $limit (len $ranges)) -}}
{{- end -}}
{{- range $index, $range := $ranges -}}
{{- $place := printf "%sconfig.nonMasqueradeCIDRs[%d]" $.place $index -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $ipv4 := printf "%s([.]%s){3}/(3[0-2]|[12]?[0-9])" $octet $octet -}}
{{- $ipv6 := "[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9])" -}}
{{- if not (regexMatch (printf "^(%s|%s)$" $ipv4 $ipv6) $range) -}}
{{- fail (printf "%s is %s, which is no range; expected an address, a slash and a prefix length, such as 10.0.0.0/8 or fd00::/8" $place $range) -}}
{{- end -}}
{{- if contains ":" $range -}}
{{- if not (index $.flags "enable-ipv6") -}}
{{- fail (printf "%s is the IPv6 range %s, but flags.enable-ipv6 is not true; expected IPv4 ranges, or that flag" $place $range) -}}
{{- end -}}
{{- else -}}
{{- include "ip-masq-agent.checkHostBits" (dict "place" $place "range" $range) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An IPv4 range is a multiple of its size. */}}
{{- define "ip-masq-agent.checkHostBits" -}}
{{- $parts := splitList "/" .range -}}
{{- $address := 0 -}}
{{- range splitList "." (first $parts) -}}
{{- $address = add (mul $address 256) (atoi .) -}}
{{- end -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 (atoi (last $parts)))) -}}
{{- $size = mul $size 2 -}}
{{- end -}}
{{- with mod $address $size -}}
{{- $network := sub $address . -}}
{{- $octets := list -}}
{{- range list 16777216 65536 256 1 -}}
{{- $octets = append $octets (mod (div $network .) 256) -}}
{{- end -}}
{{- fail (printf "%s is %s, with host bits set behind its prefix; expected %s/%s for the range, or %s/32 for the one address" $.place $.range (join "." $octets) (last $parts) (first $parts)) -}}
{{- end -}}
{{- end -}}
