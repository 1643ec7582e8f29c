include('templates/almalinux.tpl')

config_opts['releasever'] = '9'
config_opts['crb_repo'] = 'crb'
config_opts['chroot_setup_cmd'] = (
    'install bash bzip2 coreutils cpio diffutils redhat-release findutils gawk '
    'glibc-minimal-langpack grep gzip info patch redhat-rpm-config rpm-build sed tar '
    'unzip util-linux which xz'
)
