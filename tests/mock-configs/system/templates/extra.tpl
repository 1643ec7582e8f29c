config_opts['chroot_setup_cmd'] += ' extra-macros'
config_opts['dnf.conf'] += """
[extra]
baseurl=https://example.com/$releasever/
"""
