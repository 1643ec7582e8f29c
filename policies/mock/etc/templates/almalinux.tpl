# Common to all releases of AlmaLinux. A release sets releasever, crb_repo and chroot_setup_cmd.
#
# Every repository checks signatures. The key comes over HTTPS from the distribution, because the
# package of keys that other configs refer to may not be on the host.

config_opts['dist'] = 'el{{ releasever }}.alma'
config_opts['description'] = 'AlmaLinux {{ releasever }}'
config_opts['package_manager'] = 'dnf'
config_opts['extra_chroot_dirs'] = ['/run/lock']
# There is no image that fits every architecture of these configs.
config_opts['use_bootstrap_image'] = False

config_opts['mirrorlist_url'] = 'https://mirrors.almalinux.org/mirrorlist/$releasever'
config_opts['gpgkey_url'] = (
    'https://repo.almalinux.org/almalinux/RPM-GPG-KEY-AlmaLinux-{{ releasever }}'
)

config_opts['dnf.conf'] = """
[main]
keepcache=1
debuglevel=2
reposdir=/dev/null
logfile=/var/log/dnf.log
retries=20
obsoletes=1
gpgcheck=1
assumeyes=1
metadata_expire=0
best=1
install_weak_deps=0
protected_packages=
module_platform_id=platform:el{{ releasever }}
user_agent={{ user_agent }}

[baseos]
name=AlmaLinux $releasever - BaseOS
mirrorlist={{ mirrorlist_url }}/baseos
gpgcheck=1
gpgkey={{ gpgkey_url }}
skip_if_unavailable=False

[appstream]
name=AlmaLinux $releasever - AppStream
mirrorlist={{ mirrorlist_url }}/appstream
gpgcheck=1
gpgkey={{ gpgkey_url }}
skip_if_unavailable=False

[{{ crb_repo }}]
name=AlmaLinux $releasever - packages to build with
mirrorlist={{ mirrorlist_url }}/{{ crb_repo }}
gpgcheck=1
gpgkey={{ gpgkey_url }}
skip_if_unavailable=False

"""
