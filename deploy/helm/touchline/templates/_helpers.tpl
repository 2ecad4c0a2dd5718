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
envFrom:
  - secretRef: {name: {{ include "touchline.secret" . }}}
env:
{{- $settings := .Values.settings }}
{{- $_ := required "settings.TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS is required" $settings.TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS }}
{{- $_ := required "settings.TOUCHLINE_PUBLIC_URL is required" $settings.TOUCHLINE_PUBLIC_URL }}
{{- range $name, $value := $settings }}
{{- if ne (toString $value) "" }}
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
