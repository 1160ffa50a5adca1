# Manual pages.

dist_man_MANS += \
	%D%/natsd.conf.5
