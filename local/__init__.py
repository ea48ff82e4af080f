"""Stand-ins that speak the real wire protocols and refuse what the real service refuses."""
