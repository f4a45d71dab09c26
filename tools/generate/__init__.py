"""Write files that are generated from code: dashboards, the settings reference."""
