"""Traces: what each seed waited for, span by span, told to an OpenTelemetry collector."""
