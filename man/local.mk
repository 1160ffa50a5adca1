# Manual pages.

dist_man_MANS += \
	%D%/natsbench.1 \
	%D%/natsd.8 \
	%D%/natsd.conf.5
