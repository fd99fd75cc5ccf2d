"""How clients reach the orgs: http, https on a CA of the org's own, and a forward proxy for fixed host names."""
