"""What belongs to deploy/chart and is made by Python."""
