# Login shells of Debian begin with a PATH of their own.
case ":$PATH:" in
  *:/opt/agent/bin:*) ;;
  *) PATH=/opt/agent/bin:$PATH ;;
esac
