# Varnish in front of Larder: keeps what everybody may read, and forgets what Larder tells it to.
# Larder's settings for it: LARDER_PUBLIC_URL=https://npm.example.com, LARDER_CDN_URLS=http://127.0.0.1:6081 (where
# Varnish listens), LARDER_TRUSTED_PROXIES=1. Others who may purge belong into the list.
vcl 4.1;

backend larder {
    .host = "127.0.0.1";
    .port = "8000";
}

acl purgers {
    "127.0.0.1";
    "::1";
}

# npm asks for @scope%2fname, others for @scope/name: that is one package.
sub vcl_hash {
    hash_data(regsub(req.url, "%2[fF]", "/"));
    hash_data(req.http.Host);
    return (lookup);
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403, "Not yours to purge"));
        }
        return (purge);
    }
    # What somebody asks for with a token may be for them alone: it is never kept, and never given from the cache.
    if (req.http.Authorization) {
        return (pass);
    }
}
