# Decides whether the clones work; what it writes is kept. VMSNAPSHOT_CLONES holds them as JSON, and with `networks` in
# the program the first address of the clone of web-1 is in VMSNAPSHOT_IP_WEB_1:
#
#     curl --fail --silent "http://$VMSNAPSHOT_IP_WEB_1/health"
set -eu
echo "$VMSNAPSHOT_LABEL: $VMSNAPSHOT_CLONES"
