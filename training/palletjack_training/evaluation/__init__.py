"""Scoring of predictions: ground truth, matching, average precision, intervals and reports."""
