"""What many executions among failures leave behind."""
