{{- define "touchline.labels" -}}
app.kubernetes.io/name: touchline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "touchline.selector" -}}
app.kubernetes.io/name: touchline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "touchline.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}-touchline
{{- end -}}

{{- define "touchline.secret" -}}
{{ .Values.existingSecret | default (include "touchline.name" .) }}
{{- end -}}

{{- define "touchline.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "touchline.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
{{- with .Values.extraVolumes }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{- define "touchline.container" -}}
image: {{ include "touchline.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- $component := .component | default "" }}
{{- $trusted := .Values.trustedProxies.services }}
{{- if eq $component "console" }}
{{- $trusted = .Values.trustedProxies.console }}
env:
  # of the secrets, the one that its sessions are encrypted with
  - {name: TOUCHLINE_SECRET_KEY, valueFrom: {secretKeyRef: {name: {{ include "touchline.secret" . }}, key: TOUCHLINE_SECRET_KEY}}}
{{- range $service := list "ingest" "rules" "actions" }}
  - {name: TOUCHLINE_{{ upper $service }}_URL, value: "http://{{ include "touchline.name" $ }}-{{ $service }}"}
{{- end }}
{{- else }}
envFrom:
  - secretRef: {name: {{ include "touchline.secret" . }}}
env:
{{- end }}
{{- with $trusted }}
  - {name: TOUCHLINE_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- $settings := .Values.settings }}
{{- $_ := required "settings.TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS is required" $settings.TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS }}
{{- $_ := required "settings.TOUCHLINE_PUBLIC_URL is required" $settings.TOUCHLINE_PUBLIC_URL }}
{{- $ofConsole := list "TOUCHLINE_PUBLIC_URL" "TOUCHLINE_LOG_LEVEL" "TOUCHLINE_LOG_FORMAT" "TOUCHLINE_CLOCK_JUMPS" "TOUCHLINE_HEADER_TIMEOUT" "TOUCHLINE_BODY_TIMEOUT" "TOUCHLINE_WRITE_TIMEOUT" }}
{{- range $name, $value := $settings }}
{{- if and (ne (toString $value) "") (or (ne $component "console") (has $name $ofConsole)) }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
volumeMounts:
  - {name: data, mountPath: /var/lib/touchline}
  - {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}
