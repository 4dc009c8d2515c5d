{{/* A DaemonSet: the only one, or that of a ring. (dict "root" $ "ring" $ring "index" $i) */}}
{{- define "ip-masq-agent.daemonSet" -}}
{{- $values := .root.Values }}
{{- $ring := .ring }}
{{- $isLast := eq (add1 .index) (len ($values.rings | default (list dict)) | int64) }}
{{- $suffix := ternary "" (printf "-%s" $ring.name) $isLast }}
{{- $selector := printf "%s%s" (include "ip-masq-agent.name" .root) $suffix }}
{{- $source := include "ip-masq-agent.source" . | fromJson }}
{{- $image := include "ip-masq-agent.image" . | fromJson }}
{{- $socket := "/run/ip-masq-agent/agent.sock" }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ include "ip-masq-agent.fullname" .root }}{{ $suffix }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    k8s-app: {{ $selector | quote }}
    {{- include "ip-masq-agent.labels" .root | nindent 4 }}
  {{- with mergeOverwrite (deepCopy $values.annotations) ($ring.annotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    matchLabels:
      k8s-app: {{ $selector | quote }} # upstream's, and immutable
  updateStrategy:
    {{- $strategy := $ring.updateStrategy | default $values.updateStrategy }}
    type: {{ $strategy.type }}
    {{- if and (eq $strategy.type "RollingUpdate") $strategy.rollingUpdate }}
    rollingUpdate:
      {{- toYaml $strategy.rollingUpdate | nindent 6 }}
    {{- end }}
  minReadySeconds: {{ int64 (hasKey $ring "minReadySeconds" | ternary $ring.minReadySeconds $values.minReadySeconds) }}
  revisionHistoryLimit: {{ int64 $values.revisionHistoryLimit }}
  template:
    metadata:
      labels:
        k8s-app: {{ $selector | quote }}
        {{- include "ip-masq-agent.podLabels" .root | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with include "ip-masq-agent.podAnnotations" $values }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      hostNetwork: true # the rules are the node's
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      serviceAccountName: {{ $values.serviceAccountName }}
      automountServiceAccountToken: false # the agent asks no API server
      enableServiceLinks: false
      terminationGracePeriodSeconds: 5 # it ends within a tenth of a second
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $values.rings }}
      affinity:
        {{- include "ip-masq-agent.ringAffinity" . | trim | nindent 8 }}
      {{- else if $values.affinity }}
      affinity:
        {{- toYaml $values.affinity | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: ip-masq-agent
          image: {{ $image.name | quote }}
          imagePullPolicy: {{ $image.pullPolicy }}
          args:
            - --status-socket={{ $socket }} # what the probes ask
            - --runtime-dir=/run/ip-masq-agent
            {{- with $values.metrics.listen }}
            - {{ printf "--listen=%s" . | quote }}
            {{- end }}
            {{- if $values.stateDirectory.enabled }}
            - --state-dir=/var/lib/ip-masq-agent
            {{- end }}
            {{- range $flag, $value := $values.flags }}
            - {{ printf "--%s=%v" $flag (kindIs "float64" $value | ternary (int64 $value) $value) | quote }}
            {{- end }}
            {{- range $values.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            # By this the agent notices that it is not in the node's network namespace, and is not ready.
            - name: HOST_IP
              valueFrom:
                fieldRef:
                  fieldPath: status.hostIP
          {{- if $values.metrics.podMonitor.enabled }}
          ports:
            - name: metrics
              containerPort: {{ include "ip-masq-agent.port" $values }}
              hostPort: {{ include "ip-masq-agent.port" $values }}
              protocol: TCP
          {{- end }}
          securityContext:
            # UID 0 with one capability: Kubernetes gives a container of another user none (no ambient capabilities).
            runAsUser: 0
            runAsNonRoot: false
            privileged: false
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
              add: [NET_ADMIN]
            seccompProfile:
              {{- toYaml $values.seccompProfile | nindent 14 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          {{- range $probe, $check := dict "startupProbe" "live" "livenessProbe" "live" "readinessProbe" "ready" }}
          {{ $probe }}:
            exec:
              command: [/ip-masq-agent, status, --check, {{ $check }}, --status-socket, {{ $socket }}]
            {{- toYaml (get $values $probe) | nindent 12 }}
          {{- end }}
          terminationMessagePolicy: FallbackToLogsOnError # the last error in `kubectl describe`
          volumeMounts:
            - name: config
              mountPath: /etc/config
              readOnly: true
            - name: run
              mountPath: /run/ip-masq-agent
            {{- if $values.stateDirectory.enabled }}
            - name: state
              mountPath: /var/lib/ip-masq-agent
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ include "ip-masq-agent.configMapName" . }}
            # A configuration that was asked for has to be there: without it the agent would go by its flags' defaults.
            optional: {{ and (empty $source.config) (empty $source.existing) }}
            items:
              - key: config
                path: ip-masq-agent
        - name: run
          emptyDir:
            medium: Memory
            sizeLimit: 4Mi
        {{- if $values.stateDirectory.enabled }}
        - name: state
          hostPath:
            path: {{ $values.stateDirectory.hostPath }}
            type: DirectoryOrCreate
        {{- end }}
{{- end -}}

{{- define "ip-masq-agent.podAnnotations" -}}
{{- $annotations := deepCopy .podAnnotations -}}
{{- if .metrics.scrapeAnnotations -}}
{{- $port := include "ip-masq-agent.port" . -}}
{{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" $port "prometheus.io/path" "/metrics" -}}
{{- $annotations = merge $annotations $scrape -}}
{{- end -}}
{{- with $annotations }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* The port of metrics.listen. */}}
{{- define "ip-masq-agent.port" -}}
{{- regexFind "[0-9]+$" .metrics.listen -}}
{{- end -}}
