-- Arguments: method, body size, and "unlike" for a query and a body that no other request has.
-- Prints one line of JSON that load.py reads.
function init(args)
    wrk.method = args[1] or "GET"
    local size = tonumber(args[2] or "0")
    if size > 0 then
        wrk.body = string.rep("x", size)
        wrk.headers["Content-Type"] = "application/json"
    end
    if args[3] == "unlike" then
        local number = 0
        request = function()
            number = number + 1
            local body = wrk.body and string.format("%010d", number) .. string.sub(wrk.body, 11)
            return wrk.format(nil, wrk.path .. "?number=" .. number, nil, body)
        end
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format(
        'RESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %.1f, "p99": %.1f, ' ..
        '"bad_status": %d, "broken": %d}',
        summary.requests, summary.duration, summary.bytes,
        latency:percentile(50), latency:percentile(99),
        e.status, e.connect + e.read + e.write + e.timeout))
end
