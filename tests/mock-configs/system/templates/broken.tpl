# The error is here and not where it is included.
config_opts['root'] = 'x'
config_opts['dist' = 'y'
