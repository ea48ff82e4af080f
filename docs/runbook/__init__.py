"""The pages of the runbook, a package so that the dashboard of an installed wheel can show them."""
