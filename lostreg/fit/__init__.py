"""Fitting a head on unlabelled photographs: ``lostreg fit``."""
