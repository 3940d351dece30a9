"""Module variants: WireGuard built from the distribution's own source with our semantic patches."""
