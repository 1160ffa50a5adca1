# Manual pages.

dist_man_MANS += \
	%D%/natsd-protocol.7 \
	%D%/natsbench.1 \
	%D%/natsd.8 \
	%D%/natsd.conf.5
