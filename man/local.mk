# Manual pages.

dist_man_MANS += \
	%D%/natsd.8 \
	%D%/natsd.conf.5
