%% Calls between two Erlang nodes. One node answers; the other makes calls with as many processes as
%% it is told to, each with one call outstanding, and prints what it saw.
-module(bench).
-export([echo/1, serve/0, drive/1]).

echo(Payload) -> Payload.

%% Ends with its standard input.
serve() ->
    io:format("ready~n"),
    eof = io:get_line(""),
    halt(0).

drive(Server) ->
    pong = net_adm:ping(Server),
    io:format("ready~n"),
    commands(Server).

%% A command: callers, then milliseconds of warm-up, of the run, and of the pause after a call.
%% The answer: calls, then nanoseconds below which 50, 99 and 99.9 of 100 calls took, and errors.
commands(Server) ->
    case io:get_line("") of
        eof ->
            halt(0);
        Line ->
            Words = string:lexemes(Line, " \n"),
            [Callers, Warm, Run, Pause] = [list_to_integer(Word) || Word <- Words],
            {Nanos, Errors} = measure(Server, Callers, Warm, Run, Pause),
            Sorted = list_to_tuple(lists:sort(Nanos)),
            io:format("~b ~b ~b ~b ~b~n",
                      [tuple_size(Sorted), at(Sorted, 500), at(Sorted, 990), at(Sorted, 999), Errors]),
            commands(Server)
    end.

at({}, _) -> 0;
at(Sorted, Permille) ->
    element(min(tuple_size(Sorted), tuple_size(Sorted) * Permille div 1000 + 1), Sorted).

measure(Server, Callers, Warm, Run, Pause) ->
    Counted = erlang:monotonic_time(nanosecond) + Warm * 1000000,
    End = Counted + Run * 1000000,
    Self = self(),
    Caller = fun() -> Self ! {seen, call(Server, Counted, End, Pause, [], 0)} end,
    _ = [spawn_link(Caller) || _ <- lists:seq(1, Callers)],
    Seen = [receive {seen, One} -> One end || _ <- lists:seq(1, Callers)],
    {lists:append([Nanos || {Nanos, _} <- Seen]), lists:sum([Errors || {_, Errors} <- Seen])}.

call(Server, Counted, End, Pause, Nanos, Errors) ->
    Start = erlang:monotonic_time(nanosecond),
    if
        Start >= End ->
            {Nanos, Errors};
        true ->
            Good = try erpc:call(Server, bench, echo, [<<"1234567890123456">>]) of
                       <<"1234567890123456">> -> true;
                       _ -> false
                   catch
                       _:_ -> false
                   end,
            Spent = erlang:monotonic_time(nanosecond) - Start,
            if Pause > 0 -> timer:sleep(Pause); true -> ok end,
            if
                Start < Counted -> call(Server, Counted, End, Pause, Nanos, Errors);
                Good -> call(Server, Counted, End, Pause, [Spent | Nanos], Errors);
                true -> call(Server, Counted, End, Pause, Nanos, Errors + 1)
            end
    end.
