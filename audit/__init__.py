"""What happened, who did it, and who must hear of it.

The ground floor. A verb of an upper floor records an event in the transaction of its change (`journal`);
the event is then numbered in commit order (`sequencer`) and told to every subscriber (`drain`). The same
row is audit trail, outbox and changes feed. This app imports Django and Celery, and nothing of ours: upper
floors define their kinds of event here and subscribe to each other's through it.
"""
