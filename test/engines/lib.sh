# Sourced by the scripts that install a real server. Each prints the folder in which it lies; what is there already is not fetched again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bijou/engines
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # two that install at once wait for each other

# jars NAME "GROUP:ARTIFACT:VERSION ..." copies the artifacts and all that they need at run time into $cache/NAME/lib, whole or not at all.
jars() {
  local name=$1 wanted=$2 dir=$cache/$1 fresh artifact
  [[ -f $dir/wanted && $(cat "$dir/wanted") == "$wanted" ]] && return 0
  "$here/../../dist/need" java=default-jre-headless mvn=maven >&2
  fresh=$(mktemp -d "$cache/.$name.XXXXXX")
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo "<groupId>bijou</groupId><artifactId>$name</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
    for artifact in $wanted; do
      IFS=: read -r g a v <<<"$artifact"
      echo "<dependency><groupId>$g</groupId><artifactId>$a</artifactId><version>$v</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$fresh/pom.xml"
  mvn -q -B -f "$fresh/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$fresh/lib" >&2
  echo "$wanted" >"$fresh/wanted"
  rm -rf "$dir"
  mv "$fresh" "$dir"
}
