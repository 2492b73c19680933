-- What wrk sends: requests with many keys, made beforehand. `wrk … URL -- METHOD BODY-BYTES KEYS CONNECTION`
local requests, last = {}, 0

function init(args)
    local method, size, keys, connection = args[1], tonumber(args[2]), tonumber(args[3]), args[4]
    local body = size > 0 and string.rep("x", size) or nil
    for key = 1, keys do
        local headers = { ["X-Key"] = string.format("user-%06d", key * 7919 % 999983) }
        if connection == "close" then
            headers["Connection"] = "close"
        end
        requests[key] = wrk.format(method, nil, headers, body)
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

function done(summary)
    local errors = summary.errors
    io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
