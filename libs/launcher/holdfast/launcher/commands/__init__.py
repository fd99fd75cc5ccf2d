"""The commands of `holdfast`, one module per noun. Each imports what it needs when it runs: help is instant."""
