include('templates/almalinux.tpl')

config_opts['releasever'] = '8'
config_opts['crb_repo'] = 'powertools'
config_opts['chroot_setup_cmd'] = (
    'install tar gcc-c++ redhat-rpm-config redhat-release which xz sed make bzip2 gzip '
    'gcc coreutils unzip diffutils cpio bash gawk rpm-build info patch util-linux '
    'findutils grep'
)
