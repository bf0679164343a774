package queue

// Forget forgets what the score knows of a number. It never blocks.
func (q *Queue) Forget(number string) {
	q.post(func() {
		if q.o.Scorer != nil {
			q.o.Scorer.Forget(number)
		}
	})
}
