config_opts['root'] = 'demo-{{ target_arch }}'
config_opts['target_arch'] = 'x86_64'
config_opts['legal_host_arches'] = ('x86_64',)
config_opts['releasever'] = '9'
config_opts['chroot_setup_cmd'] = 'install bash rpm-build'
config_opts['dnf.conf'] = """
[main]
reposdir=/dev/null
user_agent={{ user_agent }}
"""
