baseurl=https://example.com/\\d/
enabled=1
